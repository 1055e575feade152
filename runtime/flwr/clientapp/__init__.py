"""The client's half of an app: ``ClientApp`` and mods that wrap its functions."""

from flwr.clientapp import mod
from flwr.clientapp.client_app import ClientApp

__all__ = ["ClientApp", "mod"]
