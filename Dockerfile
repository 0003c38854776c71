# The portal's image; compose.yaml runs it as web server, worker and clock.
FROM python:3.11-slim-bookworm

ENV PYTHONDONTWRITEBYTECODE=1 PYTHONUNBUFFERED=1 PIP_NO_CACHE_DIR=1

RUN useradd --system --create-home --home-dir /home/portal portal
WORKDIR /app

COPY requirements.lock ./
RUN pip install --require-hashes -r requirements.lock

COPY manage.py ./
COPY incentives_portal incentives_portal
COPY accounts accounts
COPY profiles profiles
COPY enrollment enrollment
COPY templates templates
COPY static static
COPY locale locale

# Values that only let the settings load; nothing of them stays in the image.
RUN random() { python -c "import base64, os; print(base64.urlsafe_b64encode(os.urandom($1)).decode())"; }; \
    SECRET_KEY=$(random 48) ALLOWED_HOSTS=build DATABASE_URL=postgres://build@build/build \
    FIELD_ENCRYPTION_KEYS=k1:$(random 32) BLIND_INDEX_KEY=$(random 32) \
    python manage.py collectstatic --no-input

USER portal
EXPOSE 8000
CMD ["gunicorn", "incentives_portal.wsgi", "--bind", "0.0.0.0:8000", \
     "--workers", "2", "--threads", "4", "--worker-tmp-dir", "/dev/shm", \
     "--no-control-socket"]
