// Downloads targets of a repository with tuf-js: ROOT_FILE BASE_URL DIR TARGET...
//
// ASSENT_TOKEN is for a server that asks for it, and its authority is named by NODE_EXTRA_CA_CERTS. Ends with 1 where
// the library refuses, naming why.

import { copyFileSync, mkdirSync } from 'node:fs'
import { createRequire } from 'node:module'
import { join } from 'node:path'

// The library lies in the directory that it was installed in, not beside this file.
const load = createRequire(join(process.env.ASSENT_TOOLS, 'x.js'))
const { BaseFetcher, Updater } = load('tuf-js')
// By this kind of error alone the library knows that there is no newer root.
const { DownloadHTTPError } = load('tuf-js/dist/error')

class Fetcher extends BaseFetcher {
  async fetch(url) {
    const headers = url.startsWith('https:') ? { authorization: `Bearer ${process.env.ASSENT_TOKEN}` } : {}
    const answer = await fetch(url, { headers })
    if (!answer.ok) throw new DownloadHTTPError(url, answer.status)
    return answer.body
  }
}

const [root, base, directory, ...targets] = process.argv.slice(2)
const [metadataDir, targetDir] = ['metadata', 'targets'].map((name) => join(directory, name))
for (const path of [metadataDir, targetDir]) mkdirSync(path, { recursive: true })
copyFileSync(root, join(metadataDir, 'root.json'))
try {
  const url = base.replace(/\/$/, '')
  const options = { metadataDir, metadataBaseUrl: url, targetDir, targetBaseUrl: url, fetcher: new Fetcher() }
  const updater = new Updater(options)
  await updater.refresh()
  for (const name of targets) {
    const target = await updater.getTargetInfo(name)
    if (!target) throw new Error(`no role lists ${name}`)
    await updater.downloadTarget(target, join(targetDir, name))
  }
} catch (error) {
  console.error(`${error.name}: ${error.message}`)
  process.exit(1)
}
