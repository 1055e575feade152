"""Settings of a simulated federation; None means "not said", so that layers can be merged."""

from dataclasses import dataclass, fields, replace


@dataclass(frozen=True, slots=True, kw_only=True)
class SimulationConfig:
    """How many virtual nodes, and what each may use (wire contract §4, ``SimulationConfig``)."""

    num_supernodes: int | None = None
    client_resources_num_cpus: int | None = None
    client_resources_num_gpus: float | None = None
    backend: str | None = None
    verbose: bool | None = None
    init_args_num_cpus: int | None = None
    init_args_num_gpus: int | None = None
    init_args_logging_level: str | None = None
    init_args_log_to_driver: bool | None = None

    def overridden_by(self, other: "SimulationConfig") -> "SimulationConfig":
        """Return this configuration with every field that ``other`` sets replaced."""
        said = {f.name: getattr(other, f.name) for f in fields(other)}
        return replace(self, **{name: v for name, v in said.items() if v is not None})
