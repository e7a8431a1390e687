// The stock server of sub-protocol graphql-transport-ws: graphql-ws on ws. It is asked to ping by the protocol's own
// message as well, which the package leaves to the server's author.

import { useServer } from "graphql-ws/use/ws";
import { WebSocketServer } from "ws";
import { accepts, facts, obey, schema } from "./hub.mjs";

const sockets = new WebSocketServer({ host: "127.0.0.1", port: Number(process.argv[2] ?? 0) });
const server = useServer(
  {
    schema,
    connectionInitWaitTimeout: 500,
    onConnect: ({ connectionParams, extra }) => {
      if (!accepts(connectionParams)) return false; // closed with 4403
      const { socket } = extra;
      socket.on("message", (data) => {
        if (JSON.parse(data).type === "pong") facts.pongs += 1;
      });
      const beat = setInterval(() => socket.send('{"type":"ping","payload":{"k":1}}'), 200);
      socket.once("close", () => clearInterval(beat));
      return true;
    },
  },
  sockets,
  200,
);
sockets.on("listening", () => obey(sockets.address().port, () => server.dispose()));
