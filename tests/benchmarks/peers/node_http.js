// node's own http server: PORT.
const http = require('http')

const body = '{"result":"pending"}'
const headers = {
  'Content-Type': 'application/json',
  'Content-Length': body.length,
  'Cache-Control': 'private, no-cache',
  ETag: '"1.pending"',
  'Retry-After': '3'
}
http.createServer((request, response) => {
  response.writeHead(200, headers)
  response.end(body)
}).listen(+process.argv[2], '127.0.0.1')
