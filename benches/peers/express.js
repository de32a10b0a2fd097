// Node with Express as the project's reference has it, in production mode: node express.js PORT CERT KEY
'use strict'
const fs = require('node:fs')
const https = require('node:https')
const express = require('express')

const [port, cert, key] = process.argv.slice(2)
const large = Buffer.alloc(1024 * 1024, 'x')
const app = express()
app.disable('x-powered-by')
app.disable('etag')
app.get('/api/data', (request, response) => response.json({ message: 'Secure data over HTTPS' }))
app.get('/large', (request, response) => response.type('application/octet-stream').send(large))
app.post('/len', (request, response) => {
  let length = 0
  request.on('data', (piece) => { length += piece.length })
  request.on('end', () => response.json({ length }))
})
app.post('/json', express.json(), (request, response) => response.json({ members: Object.keys(request.body).length }))

const options = { cert: fs.readFileSync(cert), key: fs.readFileSync(key), minVersion: 'TLSv1.3' }
const server = https.createServer(options, app)
server.keepAliveTimeout = 600_000
server.listen({ port: Number(port), host: '127.0.0.1', backlog: 4096 })
