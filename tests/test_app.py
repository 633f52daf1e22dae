"""Promises of the application factory: what is where, and every error in JSON."""

import subprocess
import sys

import jsonschema
import pytest
from flask import Flask, request

from petsage import MAX_BODY_BYTES, create_app, create_management_app, health
from petsage.checks import Check, CheckFailed
from petsage.config import Config
from tests.fakes import Subject, check


@pytest.fixture
def app(config):
    return create_app(config)


@pytest.fixture
def client(app):
    return app.test_client()


def test_the_smoke_test_has_a_smoke_check_of_its_own(app):
    assert "smoke_test" in app.extensions["petsage"].monitor.names("smoke")


def test_two_applications_share_nothing(config):
    one, other = create_app(config), create_app(Config(release="r2"))
    one.test_client().get("/api/v1/smoke-test")
    assert one.extensions["petsage"].monitor is not other.extensions["petsage"].monitor
    assert other.test_client().get("/livez").headers["PetSage-Release"] == "r2"


def test_importing_petsage_imports_neither_the_web_framework_nor_its_templates():
    code = "import sys, petsage.cli; sys.exit(not {'flask', 'jinja2'}.isdisjoint(sys.modules))"
    assert subprocess.run([sys.executable, "-c", code]).returncode == 0


@pytest.mark.parametrize("path", ["/", "/nope", "/api/v1/nope", "/api/v1/smoke-test/", "/status"])
@pytest.mark.parametrize("accept", ["*/*", "text/html"])
def test_an_unknown_path_is_a_404_in_json_whatever_is_accepted(client, path, accept):
    response = client.get(path, headers={"Accept": accept})
    assert response.status_code == 404
    assert response.mimetype == "application/json"
    assert response.data == b'{"code":404,"status":"Not Found"}\n'
    assert response.headers["Cache-Control"] == "no-store"


def test_a_wrong_method_is_a_405_in_json_with_allow(client):
    response = client.delete("/api/v1/smoke-test")
    assert response.status_code == 405
    assert response.data == b'{"code":405,"status":"Method Not Allowed"}\n'
    assert set(response.headers["Allow"].split(", ")) == {"GET", "HEAD", "OPTIONS"}


def test_the_body_of_a_500_is_what_the_openapi_document_says(app):
    @app.get("/broken")
    def broken():
        raise RuntimeError

    client = app.test_client()
    body = client.get("/broken", headers={"X-Request-ID": "12345678-abcd"}).json
    assert body["request_id"] == "12345678-abcd"
    schema = client.get("/api/v1/openapi.json").json["components"]["schemas"]["Error"]
    assert schema["additionalProperties"] is False
    jsonschema.validate(body, schema)


def test_a_body_that_is_too_long_is_a_413_in_json(app):
    @app.post("/upload")
    def upload():
        return request.get_data()

    client = app.test_client()
    assert client.post("/upload", data=b"x" * MAX_BODY_BYTES).status_code == 200
    response = client.post("/upload", data=b"x" * (MAX_BODY_BYTES + 1))
    assert response.status_code == 413
    assert response.json["code"] == 413


@pytest.mark.parametrize(("proxies", "seen"), [(0, "127.0.0.1"), (1, "9.9.9.9"), (2, "6.6.6.6")])
def test_only_the_trusted_hops_are_believed_about_the_client(proxies, seen):
    app = create_app(Config(proxies=proxies))

    @app.get("/client")
    def client():
        return f"{request.remote_addr} {request.host}"

    forged = {"X-Forwarded-For": "6.6.6.6, 9.9.9.9", "Host": "petsage.example"}
    assert app.test_client().get("/client", headers=forged).text == f"{seen} petsage.example"


def redirecting(path):
    """A Flask application that redirects requests for this path."""
    app = Flask("shop")
    app.add_url_rule(path, "own", lambda: "ok", redirect_to="/elsewhere")
    return app


class TestTheManagementApplication:
    def test_it_asks_the_checks_of_the_application_beside_it(self, app, config):
        management = create_management_app(config, app)
        assert "smoke_test" in management.extensions["petsage"].monitor.names("smoke")

    def test_it_asks_the_declared_checks_beside_any_other(self, config):
        declared = Config(checks=(check("database", external=True),))
        management = create_management_app(declared, lambda environ, start: [b""])
        assert "database" in management.extensions["petsage"].monitor.names("ready")

    def test_the_application_may_be_its_only_argument(self, app):
        for given in (app, app.wsgi_app):
            management = create_management_app(given)
            assert "smoke_test" in management.extensions["petsage"].monitor.names("smoke")

    def test_it_alone_has_the_condition_of_the_workers(self, app, config):
        management = create_management_app(config, app)
        assert "workers" in management.extensions["petsage"].monitor.names("live")
        assert "workers" not in app.extensions["petsage"].monitor.names("live")


class TestEmbedding:
    """`petsage.health.init_app` in an application of somebody else's."""

    def test_one_line_gives_any_flask_application_the_probes_and_the_smoke_test(self, config):
        from flask import Flask

        subject = Subject()
        app = Flask("shop")
        health.init_app(app, [Check("stock", subject, {"smoke"})], config=config)
        client = app.test_client()
        for path in ("/livez", "/readyz", "/startupz", "/api/v1/smoke-test"):
            assert client.get(path).status_code == 200
        assert subject.runs == 1

    def test_a_function_that_is_no_check_is_refused_with_what_to_write(self, config):
        from flask import Flask

        def stock_is_loaded():
            """A check's function."""

        with pytest.raises(ValueError, match=r'write Check\("name", stock_is_loaded\)'):
            health.init_app(Flask("shop"), [stock_is_loaded], config=config)  # type: ignore[list-item]

    def test_its_errors_stay_its_own(self, config):
        from flask import Flask

        app = Flask("shop")
        health.init_app(app, config=config)
        assert app.test_client().get("/nope").mimetype == "text/html"

    def test_each_run_of_a_check_has_a_context_of_its_own_torn_down_after_it(self, config):
        from flask import Flask, current_app, g

        app, ended = Flask("shop"), []

        @app.teardown_appcontext
        def end(error):
            ended.append(error)

        def stock():
            assert "run" not in g
            g.run = current_app.name
            raise CheckFailed("empty")

        embedded = health.init_app(
            app, [check("stock", stock, fresh_seconds=0), check("till")], config=config
        )
        for _ in range(3):
            (result,) = embedded.report("ready", ["stock"]).results
            assert result.reason == "empty"
        embedded.report("ready", ["till"])
        assert [str(error) for error in ended] == ["empty"] * 3 + ["None"]

    def test_a_check_without_a_context_would_be_named_by_its_own_line(self, config):
        from flask import Flask

        def stock():
            raise OSError

        embedded = health.init_app(Flask("shop"), [check("stock", stock)], config=config)
        (result,) = embedded.report("ready", ["stock"]).results
        assert result.reason == f"raised OSError ({__name__}:{stock.__code__.co_firstlineno + 1})"

    @pytest.mark.parametrize("path", ["/livez", "/readyz", "/startupz", "/api/v1/smoke-test"])
    def test_a_rule_of_its_own_that_would_win_is_refused_at_start(self, config, path):
        from flask import Flask

        app = Flask("shop")
        app.add_url_rule(path, "own", lambda: "ok")
        with pytest.raises(ValueError, match=f"has a rule of its own for {path}: 'own'"):
            health.init_app(app, config=config)

    @pytest.mark.parametrize(
        ("app", "reason"),
        [
            (lambda: Flask("shop", host_matching=True, static_folder=None), "Not Found"),
            (lambda: redirecting("/livez"), "Permanent Redirect"),
        ],
    )
    def test_an_application_that_would_lead_a_probe_elsewhere_is_refused_at_start(
        self, config, app, reason
    ):
        with pytest.raises(ValueError, match=f"^/livez does not lead to PetSage: {reason}$"):
            health.init_app(app(), config=config)

    def test_a_rule_that_never_wins_is_accepted(self, config):
        from flask import Flask

        app = Flask("shop")
        app.add_url_rule("/<path:anything>", "anything", lambda anything: anything)
        app.add_url_rule("/readyz", "other", lambda: "ok", methods=["POST"])
        health.init_app(app, config=config)
        assert app.test_client().get("/readyz").text == "ok\n"

    @pytest.mark.parametrize("path", ["/livez", "/readyz", "/startupz", "/api/v1/smoke-test"])
    def test_no_change_of_a_views_values_breaks_the_probes(self, config, path):
        from flask import Flask

        app = Flask("shop")
        health.init_app(app, config=config)

        @app.url_value_preprocessor
        def take_language(_endpoint, values):
            values.clear()
            values["language"] = "en"

        assert app.test_client().get(path).status_code == 200

    def test_calling_it_twice_is_refused(self, config):
        from flask import Flask

        app = Flask("shop")
        health.init_app(app, config=config)
        with pytest.raises(ValueError, match="init_app was called before on this application"):
            health.init_app(app, config=config)

    def test_its_blueprints_collide_with_nobodys(self, config):
        from flask import Blueprint, Flask

        app = Flask("shop")
        for name in ("probes", "health", "management", "Health & Status", "v1"):
            app.register_blueprint(Blueprint(name, __name__))
        health.init_app(app, config=config)
        assert {name for name in app.blueprints if "petsage" in name} == {
            "petsage_probes",
            "petsage_smoke_test",
        }

    def test_the_smoke_test_names_it_if_it_says_its_name(self, config):
        from flask import Flask

        def down():
            raise CheckFailed("down")

        app = Flask("shop")
        health.init_app(app, [check("till", down)], name="Shop", config=config)
        body = app.test_client().get("/api/v1/smoke-test").json
        assert body["message"] == "Shop Smoke Test: Failed!"

    def test_the_same_name_twice_is_refused_at_start(self, config):
        from flask import Flask

        with pytest.raises(ValueError, match="check 'stock' is declared twice"):
            health.init_app(Flask("shop"), [check("stock"), check("stock")], config=config)
