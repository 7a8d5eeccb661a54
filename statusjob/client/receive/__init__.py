"""How an application receives webhooks: the resource, its dispatcher and its memory."""
