// Posts with undici, node's fastest client: PORT SECONDS CONCURRENCY ORIGINS BODY.
const { request } = require('undici')
const { measure } = require('./posting.js')

const headers = { 'Content-Type': 'application/json' }
measure(async (url, body) => {
  const answer = await request(url, { method: 'POST', body, headers })
  await answer.body.dump()
})
