"""
The applications of the receivers in L{tests.soak.receivers}.

They read the body of each request and answer 200, as an application does that somebody wrote with
the framework in an afternoon. They need nothing of this project.
"""
