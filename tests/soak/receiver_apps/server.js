// A receiver of node: "http", or "express" from the working directory.
const [kind, port] = process.argv.slice(2);

function plain(request, response) {
  request.on("data", () => {});
  request.on("end", () => response.end("ok"));
}

function express() {
  const framework = require(require.resolve("express", { paths: [process.cwd()] }));
  const app = framework();
  app.use(framework.json());
  app.post("/hook", (request, response) => response.sendStatus(200));
  return app;
}

const server = require("http").createServer(kind === "express" ? express() : plain);
server.keepAliveTimeout = 1000;
server.listen(Number(port), "127.0.0.1");
process.on("SIGTERM", () => server.close(() => process.exit(0)));
