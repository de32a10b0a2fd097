// A WebSocket that echoes, and a page that gets events, with ws.
const http = require('http');
const { WebSocketServer } = require('ws');

const PAGE = `<!doctype html><title>live</title><script>
    const said = [];
    const source = new EventSource('/events');
    // The next event comes when the page has got this one.
    source.onmessage = ({ data }) => { said.push(data); fetch('/next', { method: 'POST' }); };
    source.addEventListener('last', ({ data }) => {
        said.push(data);
        source.close();
        const socket = new WebSocket('wss://' + location.host + '/socket');
        socket.onopen = () => socket.send('hello');
        socket.onmessage = ({ data }) => { said.push(data); socket.close(4001, 'bye'); };
        socket.onclose = ({ code, wasClean }) => fetch('/report', { method: 'POST', body: [...said, code, wasClean].join() });
    });
</script>`;

let events;
let number = 0;
const server = http.createServer((request, response) => {
    if (request.url === '/events') {
        response.writeHead(200, { 'Content-Type': 'text/event-stream', 'Cache-Control': 'no-store' });
        events = response;
        events.write('data: 0\n\n');
    } else if (request.url === '/next') {
        number += 1;
        events.write(number < 5 ? `data: ${number}\n\n` : 'event: last\ndata: last\n\n');
        response.end();
    } else if (request.url === '/report') {
        request.on('data', (body) => console.log(body.toString()));
        request.on('end', () => response.end());
    } else {
        response.writeHead(200, { 'Content-Type': 'text/html' }).end(PAGE);
    }
});
const sockets = new WebSocketServer({ server, maxPayload: 2 ** 20 });
sockets.on('connection', (socket) => {
    socket.on('error', () => {});
    socket.on('message', (data, isBinary) => socket.send(data, { binary: isBinary }));
});
server.listen(0, '127.0.0.1', () => console.log(server.address().port));
