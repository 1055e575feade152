"""The examples, in containers with images that ``make app-image`` builds."""
