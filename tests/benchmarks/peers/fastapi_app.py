"""
FastAPI on uvicorn with uvloop and httptools.

    python -m tests.benchmarks.peers.fastapi_app PORT
"""

from __future__ import annotations

import sys

import uvicorn
from fastapi import FastAPI, HTTPException, Response

from tests.benchmarks.peers import JOB_ID

app = FastAPI()
jobs = {JOB_ID: {"result": "pending"}}


@app.get("/jobs/{job_id}/status")
async def status(job_id: str, response: Response) -> dict[str, str]:
    """Tell the state of a job."""
    job = jobs.get(job_id)
    if job is None:
        raise HTTPException(404)
    response.headers["etag"] = f'"{job_id}.{job["result"]}"'
    return job


if __name__ == "__main__":
    uvicorn.run(
        app,
        port=int(sys.argv[1]),
        loop="uvloop",
        http="httptools",
        access_log=False,
        log_level="warning",
    )
