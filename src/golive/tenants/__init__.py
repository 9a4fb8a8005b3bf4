"""Who asks, what they may do, and whose it is.

Owns principals, roles as sets of verbs, the one `authorize`, API keys. Limits and money per tenant come here too.
"""
