"""Generated code of this project's extensions, package flwr.compose."""
