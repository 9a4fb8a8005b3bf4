"""The model plane: from a request to a stream of model events, whatever the provider, and what it cost.

Owns dialects, the upstream transport, chains of targets, prices. Knows nothing of runs, journals or tenants: what a
caller must know (an attempt began, failed, cost this much) is said in the stream itself.
"""
