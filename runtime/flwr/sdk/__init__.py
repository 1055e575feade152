"""The Python SDK: build images, deploy, submit runs, follow them, get what they leave."""
