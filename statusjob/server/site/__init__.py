"""
Where requests come in: the ports, and the site that bounds what comes over their connections.
"""
