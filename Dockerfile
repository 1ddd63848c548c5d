# VAE Explorer in a container: the pages and the shipped models, for a public host or a class.
#
#   docker build -t vae-explorer .
#   docker run --rm -p 8501:8501 --read-only --tmpfs /tmp vae-explorer
#
# Nothing is trained or deleted in it, so its file system may be read-only but for /tmp.
FROM python:3.11-slim

ENV PYTHONUNBUFFERED=1 HOME=/tmp VAE_EXPLORER_READ_ONLY=1

WORKDIR /app
COPY requirements.txt ./
# Where a CPU build of PyTorch lies, which takes a tenth of the room: --build-arg TORCH_INDEX=URL
ARG TORCH_INDEX=""
RUN if [ -n "$TORCH_INDEX" ]; then \
        grep -E "^torch(vision)?[<>=]" requirements.txt > /tmp/torch.txt \
        && pip install --no-cache-dir --index-url "$TORCH_INDEX" -r /tmp/torch.txt; \
    fi \
    && pip install --no-cache-dir -r requirements.txt

COPY .streamlit .streamlit
COPY app.py LICENSE ./
COPY pages pages
COPY vae_explorer vae_explorer
COPY checkpoints checkpoints

RUN useradd --uid 10001 --no-create-home --home-dir /tmp explorer
USER explorer

EXPOSE 8501
HEALTHCHECK --interval=30s --timeout=5s --start-period=60s --retries=3 \
    CMD ["python", "-c", "import urllib.request as r; r.urlopen('http://127.0.0.1:8501/_stcore/health', timeout=4)"]

CMD ["streamlit", "run", "app.py", "--server.headless=true", "--server.address=0.0.0.0", \
     "--server.port=8501", "--server.fileWatcherType=none"]
