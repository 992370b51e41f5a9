# The image of Millrace. Its use and how it was tested: docs/deploy.md.
#
# The layout is that of `npm install -g`. The launcher then runs dist/, because Node runs no TypeScript in node_modules.

FROM node:24-slim AS build
WORKDIR /build
COPY package.json package-lock.json .npmrc ./
RUN npm ci --loglevel=error
COPY tsconfig.json ./
COPY scripts scripts
COPY bin bin
COPY proto proto
COPY src src
COPY web web
RUN npm run build && npm prune --omit=dev --omit=optional --loglevel=error

FROM node:24-slim
LABEL org.opencontainers.image.title="Millrace" org.opencontainers.image.licenses="MIT"
ENV NODE_ENV=production \
    NODE_OPTIONS="--enable-source-maps --disable-sigusr1 --max-semi-space-size=64" \
    MILLRACE_DATA_DIR=/data
WORKDIR /usr/local/lib/node_modules/millrace
COPY --from=build /build/package.json ./
COPY --from=build /build/bin bin
COPY --from=build /build/proto proto
COPY --from=build /build/dist dist
COPY --from=build /build/node_modules node_modules
RUN ln -s /usr/local/lib/node_modules/millrace/bin/millrace.mjs /usr/local/bin/millrace \
    && install -d -o node -g node /data /files
WORKDIR /data
USER node
VOLUME /data
EXPOSE 8080 50051
STOPSIGNAL SIGTERM
# An open route, which a worker serves too: `millrace status` would need a key and gRPC.
HEALTHCHECK --interval=10s --timeout=5s --start-period=20s --retries=3 \
    CMD ["node", "-e", "require(process.env.MILLRACE_TLS_CERT ? 'https' : 'http').get({ host: '127.0.0.1', port: process.env.MILLRACE_HTTP_PORT ?? 8080, path: '/readyz', rejectUnauthorized: false }, ({ statusCode }) => process.exit(statusCode === 200 ? 0 : 1)).on('error', () => process.exit(1))"]
ENTRYPOINT ["millrace"]
CMD ["start"]
