"""Webhooks: their registration, and the redelivery of what they were sent."""
