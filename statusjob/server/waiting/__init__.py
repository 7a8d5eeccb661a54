"""
How requests wait for jobs: long polls and event streams, told of updates by the feed.
"""
