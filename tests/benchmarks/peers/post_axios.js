// Posts with axios: PORT SECONDS CONCURRENCY ORIGINS BODY.
const axios = require('axios')
const http = require('http')
const { measure } = require('./posting.js')

const client = axios.create({ httpAgent: new http.Agent({ keepAlive: true }) })
const headers = { 'Content-Type': 'application/json' }
measure((url, body) => client.post(url, body, { headers }))
