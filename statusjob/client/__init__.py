"""The client library, for programs that watch jobs or report on them. Import from L{statusjob}."""
