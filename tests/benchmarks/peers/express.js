// Express with jobs in a Map: PORT, and perhaps how many more jobs there are.
const express = require('express')

const first = '00000000-0000-7000-8000-000000000001'
const jobs = new Map()
const app = express()
app.use(express.json())

function create (id, kind) {
  const now = new Date().toISOString()
  const path = `/jobs/${id}`
  const job = {
    id, kind, result: 'pending', version: 1, progress: null, message: null, eta_at: null,
    output: null, error: null, metadata: null, deadline: null, heartbeat: null, simulated: false,
    created_at: now, updated_at: now, finished_at: null, duration: null,
    links: { self: path, status: `${path}/status`, operation: `${path}/operation`, events: `${path}/events` }
  }
  jobs.set(id, job)
  return job
}

app.get('/jobs/:id/status', (request, response) => {
  const job = jobs.get(request.params.id)
  if (job === undefined) return response.sendStatus(404)
  response.json({ result: job.result })
})
app.get('/jobs/:id', (request, response) => {
  const job = jobs.get(request.params.id)
  if (job === undefined) return response.sendStatus(404)
  response.json(job)
})
app.post('/jobs', (request, response) => {
  const job = create(crypto.randomUUID(), request.body.kind ?? 'default')
  response.status(201).location(job.links.self).json(job)
})
app.patch('/jobs/:id', (request, response) => {
  const job = jobs.get(request.params.id)
  if (job === undefined) return response.sendStatus(404)
  job.result = request.body.result ?? job.result
  job.version++
  job.updated_at = job.finished_at = new Date().toISOString()
  response.json(job)
})

create(first, 'default')
const [port, more = 0] = process.argv.slice(2)
for (let number = 0; number < +more; number++) create(`job-${number}`, 'default')
app.listen(+port, '127.0.0.1')
