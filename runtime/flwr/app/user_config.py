"""Type of run and node configuration as an app sees it."""

UserConfigValue = bool | float | int | str
UserConfig = dict[str, UserConfigValue]
