"""The life of jobs: what requests and time do to them."""
