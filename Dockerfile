# The demo as an image: the TypeScript sources, run by Node itself, and their locked dependencies; not root, no npm.
#   docker build --tag muster-demo:0.1.0 .

# The manifests of the workspace alone, so that the dependencies are installed anew only when these change.
FROM node:24-bookworm-slim AS manifests
WORKDIR /muster
COPY . .
RUN find packages apps -type f ! -name package.json -delete

FROM node:24-bookworm-slim AS dependencies
WORKDIR /muster
COPY --from=manifests /muster .
# The Node of the image takes the place of the one that package.json pins, which is an optional dependency.
RUN npm ci --omit=dev --omit=optional --ignore-scripts --no-audit --no-fund \
  && find node_modules -type f \( -name "*.map" -o -name "*.d.ts" \) -delete \
  && rm -rf node_modules/effect/src node_modules/@effect/*/src

FROM node:24-bookworm-slim
RUN rm -rf /usr/local/lib/node_modules /usr/local/bin/npm /usr/local/bin/npx /usr/local/bin/corepack /opt/yarn*
WORKDIR /muster
ENV NODE_ENV=production
COPY --from=dependencies /muster/node_modules node_modules
COPY packages packages
COPY apps/demo apps/demo
USER 1000
ENTRYPOINT ["node", "--conditions=muster-source", "apps/demo/src/main.ts"]
CMD ["--help"]
