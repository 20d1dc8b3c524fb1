// Reads a URL as any Node program does, asking for gzip, and writes the inflated body: node fetch.mjs URL AUTHORIZATION
const [url, authorization] = process.argv.slice(2);
const answer = await fetch(url, { headers: { authorization, "accept-encoding": "gzip" } });
if (answer.status !== 200 || answer.headers.get("content-encoding") !== "gzip") {
  throw new Error(`${answer.status}, encoded as ${answer.headers.get("content-encoding")}`);
}
process.stdout.write(Buffer.from(await answer.arrayBuffer()));
