"""The hub: accepts runs, hands messages to nodes, keeps everything durable."""
