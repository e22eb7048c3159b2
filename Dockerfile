FROM docker.io/airbyte/python-connector-base:4.1.1@sha256:a268b44c733ae699a60f5fbc06a324945dba98945c6e2ab7f8609f2f895b0d28

WORKDIR /airbyte/integration_code

# Dependencies before code: they change less often, so their layer is seldom built again.
COPY requirements.txt constraints.txt ./
RUN python -m pip install --no-cache-dir --requirement requirements.txt --constraint constraints.txt

# Owned by the user that runs it, so that it can read them whatever the umask of the checkout was.
COPY --chown=airbyte:airbyte main.py ./
COPY --chown=airbyte:airbyte destination_dust ./destination_dust

# The platform evaluates AIRBYTE_ENTRYPOINT in a folder of its own; `docker run` takes ENTRYPOINT.
ENV AIRBYTE_ENTRYPOINT="python /airbyte/integration_code/main.py"
ENTRYPOINT ["python", "/airbyte/integration_code/main.py"]

LABEL io.airbyte.name="airbyte/destination-dust" \
      io.airbyte.version="0.4.0"

# The base image's user 1000, by the name that Airbyte's images go by.
# hadolint ignore=DL3066
USER airbyte
