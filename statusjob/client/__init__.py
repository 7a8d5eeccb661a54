"""What users import to watch jobs and to report on them; see L{statusjob} for the names."""
