import { createRequire, isBuiltin } from 'node:module';
import type { Plugin } from 'esbuild';

const require = createRequire(import.meta.url);

/**
 * Takes Node's own modules as objects. An import statement evaluates every export of such a module, and some of them load much that nobody needs: an HTTP client
 * for browsers behind `node:http`, 150 certificates behind `node:tls`; together 15 MiB and 70 ms of a start.
 */
export const builtinModules: Plugin = {
  name: 'builtin-modules',
  setup(bundler) {
    bundler.onResolve({ filter: /^[a-z]/ }, ({ path: name, importer, kind }) => {
      if (!isBuiltin(name) || kind !== 'import-statement') return undefined;
      // What looks at Node's version runs on old ones, too.
      if (importer.includes('/bin/'))
        return name === 'node:process'
          ? { path: `${name} of ${importer}`, namespace: 'builtin' }
          : { path: name, external: true };
      return { path: name.replace(/^(?:node:)?/, 'node:'), namespace: 'builtin', sideEffects: false };
    });
    bundler.onLoad({ filter: /.*/, namespace: 'builtin' }, ({ path: name }) => {
      if (name.startsWith('node:process')) return { contents: 'export default globalThis.process;\n' };
      const names = Object.keys(require(name) as object).filter((one) => /^[A-Za-z_$][\w$]*$/.test(one) && one !== 'default');
      return {
        contents: [
          `const builtin = /* @__PURE__ */ process.getBuiltinModule('${name}');`,
          'export default builtin;',
          ...names.map((one) => `const its_${one} = /* @__PURE__ */ (() => builtin.${one})();\nexport { its_${one} as ${one} };`),
        ].join('\n'),
      };
    });
  },
};
