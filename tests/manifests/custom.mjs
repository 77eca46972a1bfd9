// Validates custom resources. Reads a JSON list of objects on stdin, prints a JSON list of lists of complaints.
//
// The schemas come as compiled validators. They say what is missing or of the wrong type, but let unknown keys pass. So
// each object is shown to its validator through a proxy that notes which keys it asks for: a key that is there and was
// never asked for is one that the schema does not know. A part of which nothing was asked is free.

import { readFileSync } from 'node:fs';
import { readdir } from 'node:fs/promises';

const PACKAGES = ['argo-cd', 'cert-manager', 'external-secrets', 'flux-cd', 'gateway-api', 'keda', 'prometheus-operator'];

// Served by the cluster under a newer version with the same fields, which the package does not have yet.
const SAME_AS = { 'external-secrets.io/v1': 'external-secrets.io/v1beta1' };

const schemas = new Map();

async function schemaOf({ apiVersion, kind }) {
  const [group, version] = apiVersion.split('/');
  for (const name of PACKAGES) {
    const folder = new URL(`node_modules/@kubernetes-models/${name}/_schemas/`, import.meta.url);
    if (!schemas.has(name)) schemas.set(name, await readdir(folder));
    const camel = (text) => text.split(/[.-]/).map((part) => part[0].toUpperCase() + part.slice(1)).join('');
    const title = version[0].toUpperCase() + version.slice(1) + kind;
    const candidates = schemas.get(name).filter((file) => /\.m?js$/.test(file)).filter((file) => {
      const stem = file.replace(/\.m?js$/, '');
      return stem === camel(group) + title || (owns(name, group) && stem.endsWith(title));
    });
    // the module of the two, where both are there
    const file = candidates.find((name) => name.endsWith('.mjs')) ?? candidates[0];
    if (file) return (await import(new URL(file, folder))).validate;
  }
  return undefined;
}

// Packages whose files are named after the Go packages instead of the group.
function owns(name, group) {
  return { 'gateway.networking.k8s.io': 'gateway-api', 'keda.sh': 'keda', 'monitoring.coreos.com': 'prometheus-operator',
    'argoproj.io': 'argo-cd' }[group] === name;
}

// A view of a value, and what is asked of it.
function watched(value, path, asked) {
  if (value === null || typeof value !== 'object') return value;
  if (Array.isArray(value)) return value.map((item, index) => watched(item, `${path}/${index}`, asked));
  const keys = new Set();
  const inner = Object.fromEntries(Object.entries(value).map(([key, item]) => [key, watched(item, `${path}/${key}`, asked)]));
  asked.push({ path, has: Object.keys(value), keys });
  return new Proxy(inner, {
    get(target, key) {
      keys.add(key);
      return target[key];
    },
    ownKeys(target) {
      for (const key of Object.keys(target)) keys.add(key);
      return Reflect.ownKeys(target);
    },
  });
}

async function complaints(object) {
  const seenAs = { ...object, apiVersion: SAME_AS[object.apiVersion] ?? object.apiVersion };
  const validate = await schemaOf(seenAs);
  if (!validate) return [`there is no schema of ${object.apiVersion} ${object.kind}`];
  const asked = [];
  const said = [];
  if (!validate(watched(seenAs, '', asked))) {
    for (const error of validate.errors) said.push(`${error.instancePath || '/'}: ${error.keyword} ${JSON.stringify(error.params)}`);
  }
  for (const { path, has, keys } of asked) {
    if (keys.size === 0 || path.startsWith('/metadata')) continue;
    for (const key of has) if (!keys.has(key)) said.push(`${path || '/'}: unknown key ${key}`);
  }
  return said;
}

const objects = JSON.parse(readFileSync(0, 'utf8'));
const answers = [];
for (const object of objects) answers.push(await complaints(object));
console.log(JSON.stringify(answers));
