// The same by Node's older means: an http stream through zlib: node gunzip.mjs URL AUTHORIZATION
import http from "node:http";
import zlib from "node:zlib";
const [url, authorization] = process.argv.slice(2);
http.get(url, { headers: { authorization, "accept-encoding": "gzip" } }, (answer) => {
  answer.pipe(zlib.createGunzip()).pipe(process.stdout);
});
