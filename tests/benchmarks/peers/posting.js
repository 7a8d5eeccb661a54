// Lets a function post again and again, several at a time, and prints what that took.
const [port, seconds, concurrency, origins, body] = process.argv.slice(2)

async function run (post, seconds) {
  let requests = 0
  const begun = process.hrtime.bigint()
  const before = process.cpuUsage()
  const elapsed = () => Number(process.hrtime.bigint() - begun) / 1e9
  async function worker (number) {
    const url = `http://127.0.0.${1 + number % origins}:${port}/hook`
    while (elapsed() < seconds) { await post(url, body); requests++ }
  }
  await Promise.all(Array.from({ length: +concurrency }, (_, number) => worker(number)))
  const { user, system } = process.cpuUsage(before)
  return { requests, seconds: elapsed(), cpu: (user + system) / 1e6 }
}

exports.measure = async post => {
  // The first second is for the compiler.
  await run(post, 1)
  console.log(JSON.stringify(await run(post, +seconds)))
  process.exit()
}
