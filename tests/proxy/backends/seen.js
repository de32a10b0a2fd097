// Says what it sees: one line for each request, with its method, its target and its body.
const server = require('http').createServer((request, response) => {
    const pieces = [];
    request.on('data', (piece) => pieces.push(piece));
    request.on('end', () => {
        const line = `${request.method} ${request.url} ${Buffer.concat(pieces).toString('hex')}`;
        console.log(line);
        response.setHeader('X-Seen', line);
        response.end(line);
    });
});
server.listen(0, '127.0.0.1', () => console.log(server.address().port));
