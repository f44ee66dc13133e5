import { defineConfig } from 'vite';

export default defineConfig({
  // Relative, so that the build works in any folder of any web host.
  base: './',
  build: { target: 'es2022', assetsInlineLimit: 0 },
  esbuild: { jsx: 'automatic', jsxImportSource: 'preact' },
  worker: { format: 'es' },
});
