"""The same answer by hand: Flask with marshmallow, for gunicorn as it comes."""

from flask import Flask
from marshmallow import Schema, fields

app = Flask(__name__)


class SmokeTestSchema(Schema):
    status = fields.String()
    message = fields.String()
    feature = fields.String()


@app.get("/api/v1/smoke-test")
def smoke_test():
    answer = {
        "status": "ok",
        "message": "PetSage Smoke Test: Success!",
        "feature": "smoke_test",
    }
    return SmokeTestSchema().dump(answer)
