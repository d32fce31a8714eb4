"""Alerts: rules that creators set on items, and webhooks that tell of them."""

from tallycast.alerts.desk import Alerts as Alerts
