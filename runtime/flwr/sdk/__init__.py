"""The Python SDK: build images, deploy a federation, submit runs, follow them, get their results."""
