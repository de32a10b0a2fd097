// The API that guides to Express show, with what else such programs do, on a plain port.
const crypto = require('crypto');
const express = require('express');
const fs = require('fs');
const os = require('os');
const path = require('path');
const zlib = require('zlib');

const folder = fs.mkdtempSync(path.join(os.tmpdir(), 'express-'));
process.on('exit', () => fs.rmSync(folder, { recursive: true }));
process.on('SIGTERM', () => process.exit());
fs.writeFileSync(path.join(folder, 'file.txt'), '0123456789'.repeat(20000));
fs.utimesSync(path.join(folder, 'file.txt'), 1700000000, 1700000000);

const app = express();
app.set('trust proxy', 'loopback');
app.use(express.json({ limit: '2mb' }), express.urlencoded(), express.raw({ limit: '2mb' }));
app.use('/files', express.static(folder));
app.get('/api/data', (request, response) => response.json({ message: 'Secure data over HTTPS' }));
app.post('/api/data', (request, response) => response.status(201).location('/api/items/1').json({ received: request.body }));
app.put('/api/items/:id', (request, response) => response.json({ id: request.params.id, ...request.body }));
app.patch('/api/items/:id', (request, response) => response.json(request.body));
app.delete('/api/items/:id', (request, response) => response.status(204).end());
app.post('/form', (request, response) => response.send(Object.entries(request.body).join(';')));
app.post('/sum', (request, response) => {
    const body = Buffer.isBuffer(request.body) ? request.body : Buffer.alloc(0);
    response.send(`${body.length} ${crypto.createHash('sha256').update(body).digest('hex')}`);
});
app.get('/query', (request, response) => response.json([request.originalUrl, request.query]));
app.get('/moved', (request, response) => response.redirect('/api/data'));
app.get('/moved/for/good', (request, response) => response.redirect(301, 'https://example.com/?a=b#c'));
app.get('/login', (request, response) => response.cookie('session', 'a b', { secure: true, httpOnly: true }).cookie('theme', 'dark', { secure: true, path: '/x' }).send('in'));
app.get('/cookie', (request, response) => response.send(request.headers.cookie));
app.get('/tagged', (request, response) => response.set('ETag', '"1"').set('Cache-Control', 'max-age=5').send('tagged'));
app.get('/large', (request, response) => response.type('txt').send('abcdefgh'.repeat(131072)));
app.get('/pieces', (request, response) => {
    response.type('txt').write('first ');
    response.write('b'.repeat(200000));
    response.end(' last');
});
app.get('/zipped', (request, response) => {
    const body = 'zip'.repeat(10000);
    response.vary('Accept-Encoding').type('txt');
    if (!request.acceptsEncodings('gzip')) return response.send(body);
    response.set('Content-Encoding', 'gzip').send(zlib.gzipSync(body));
});
app.get('/empty', (request, response) => response.status(204).end());
app.get('/nothing', (request, response) => response.send(''));
app.get('/fields', (request, response) => {
    response.set('X-Long', 'l'.repeat(4000)).append('X-Twice', 'a').append('X-Twice', 'b').append('Link', '</a>; rel=preload, </b>');
    response.set('Content-Security-Policy', "default-src 'self'").set('X-Empty', '').send('fields');
});
app.get('/latin', (request, response) => response.set('X-Latin', 'gr\u00fcn').send('latin'));
app.get('/teapot', (request, response) => response.status(418).send('short and stout'));
app.get('/busy', (request, response) => response.set('Retry-After', '7').status(503).json({ error: 'busy' }));
app.get('/fault', () => { throw Object.assign(new Error('fault'), { status: 500, stack: 'fault' }); });
app.get('/who', (request, response) => response.send(`${request.protocol} ${request.ip} ${request.hostname} ${request.secure}`));
app.get('/hints', (request, response) => {
    response.writeEarlyHints({ link: '</a>; rel=preload' });
    response.send('hints');
});
const server = app.listen(0, '127.0.0.1', () => console.log(server.address().port));
