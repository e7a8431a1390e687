// Reads documents, one JSON text a line, and tells of each what AsyncAPI's own parser makes of it, one a line.
const readline = require('node:readline');
const { Parser } = require('@asyncapi/parser');

const parser = new Parser();

async function judge(text) {
  const { document, diagnostics } = await parser.parse(text);
  return {
    // Errors and warnings; what is left are hints, such as that there is a newer version of the specification.
    found: diagnostics
      .filter((one) => one.severity <= 1)
      .map((one) => `${one.path.join('/')}: ${one.message} (${one.code})`),
    hints: diagnostics.filter((one) => one.severity > 1).map((one) => one.code),
    channels: document ? document.channels().all().map((one) => one.address()) : null,
    sent: document ? document.operations().filterBySend().length : null,
    schemas: document ? document.schemas().all().length : null,
  };
}

(async () => {
  for await (const line of readline.createInterface({ input: process.stdin })) {
    console.log(JSON.stringify(await judge(line)));
  }
})();
