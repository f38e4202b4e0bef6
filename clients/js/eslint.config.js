import js from '@eslint/js';
import globals from 'globals';

export default [
  js.configs.recommended,
  {
    linterOptions: { reportUnusedDisableDirectives: 'error' },
    rules: {
      eqeqeq: 'error',
      'no-var': 'error',
      'prefer-const': 'error',
      'no-console': 'error',
      'no-eval': 'error',
      'no-implied-eval': 'error',
      'max-len': [
        'error',
        { code: 100, ignoreComments: true, ignoreStrings: true, ignoreTemplateLiterals: true },
      ],
    },
  },
  {
    files: ['src/**'],
    languageOptions: { globals: globals.browser },
    rules: {
      // Text of a notification never becomes HTML.
      'no-restricted-properties': [
        'error',
        ...['innerHTML', 'outerHTML', 'insertAdjacentHTML', 'write'].map((property) => ({
          property,
        })),
      ],
    },
  },
  {
    // A classic script, which every browser takes as a service worker.
    files: ['src/service-worker.js'],
    languageOptions: { globals: globals.serviceworker, sourceType: 'script' },
  },
  { files: ['test/**', '*.js'], languageOptions: { globals: globals.node } },
];
