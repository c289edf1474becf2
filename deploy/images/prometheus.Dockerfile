# Stands in for prom/prometheus where no registry is reached, such as CI: Debian's programs, laid out as in that image.
ARG BASE
FROM ${BASE}
LABEL org.opencontainers.image.title=comfymesh-prometheus
COPY prometheus promtool /bin/
RUN install --directory --owner=nobody --group=nogroup /prometheus
USER nobody
ENTRYPOINT ["/bin/prometheus"]
