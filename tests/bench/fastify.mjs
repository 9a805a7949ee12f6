// The bound of no isolation: the function of `make bench` behind Fastify, in one process that serves every call.
import fastify from 'fastify'

const [, , port, code] = process.argv
const run = new Function('event', code)
const server = fastify()

server.get('/healthz', () => ({ status: 'ok' }))
server.post('/run', (request) => ({ data: run(request.body.input), type: 'json' }))
await server.listen({ host: '127.0.0.1', port: Number(port) })
