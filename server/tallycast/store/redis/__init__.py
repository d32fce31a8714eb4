"""The store that many hubs share."""
