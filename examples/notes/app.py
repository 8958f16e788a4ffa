# SPDX-License-Identifier: Apache-2.0
"""Notes: forms, SQLite and a Link field, in Flask.

    PORT=3001 gunicorn -b 127.0.0.1:$PORT app:app

All workers and instances share one database in $NOTES_DIR, or else in $HOME.
"""
import datetime
import os
import pathlib
import secrets
import sqlite3

from flask import (Flask, abort, flash, g, jsonify, redirect, render_template, request, session,
                   url_for)

TITLE_MAX, TEXT_MAX, NOTES_MAX = 120, 20_000, 1_000
COLOURS = ("sand", "rose", "sky", "leaf", "plum")
PRELOAD = "</static/notes.css>; rel=preload; as=style, </static/notes.js>; rel=preload; as=script"

where = pathlib.Path(os.environ.get("NOTES_DIR") or os.environ.get("HOME") or ".")
app = Flask(__name__)


def connect():
    db = sqlite3.connect(where / "notes.db", timeout=10, isolation_level=None)
    db.row_factory = sqlite3.Row
    db.execute("PRAGMA synchronous = NORMAL")
    return db


def prepare():
    """Creates the tables and the key that signs sessions; several processes may do so at once."""
    where.mkdir(parents=True, exist_ok=True)
    db = connect()
    db.execute("PRAGMA journal_mode = WAL")
    db.execute("BEGIN IMMEDIATE")
    db.execute("CREATE TABLE IF NOT EXISTS setting (name TEXT PRIMARY KEY, value TEXT NOT NULL)")
    db.execute("""CREATE TABLE IF NOT EXISTS note (
        id INTEGER PRIMARY KEY, title TEXT NOT NULL, text TEXT NOT NULL, colour TEXT NOT NULL,
        written TEXT NOT NULL)""")
    db.execute("INSERT OR IGNORE INTO setting VALUES ('key', ?)", (secrets.token_hex(32),))
    key = db.execute("SELECT value FROM setting WHERE name = 'key'").fetchone()[0]
    db.execute("COMMIT")
    db.close()
    return key


app.secret_key = prepare()
app.config.update(SESSION_COOKIE_SAMESITE="Lax", SESSION_COOKIE_HTTPONLY=True,
                  MAX_CONTENT_LENGTH=256 * 1024, SEND_FILE_MAX_AGE_DEFAULT=300)


def database():
    if "db" not in g:
        g.db = connect()
    return g.db


@app.teardown_appcontext
def close(_):
    if "db" in g:
        g.db.close()


def token():
    """What a form must send back: a page of someone else's cannot know it."""
    return session.setdefault("token", secrets.token_urlsafe(16))


@app.before_request
def check_token():
    if request.method != "POST":
        return  # and whose session it is was not looked at: style sheets do not vary by it
    sent, held = request.form.get("token", ""), session.get("token", "")
    if not (held and secrets.compare_digest(sent, held)):
        abort(403, "This form is out of date. Go back, reload the page and send it again.")


@app.context_processor
def for_templates():
    return {"token": token, "colours": COLOURS, "title_max": TITLE_MAX, "text_max": TEXT_MAX}


@app.template_filter("day")
def day(written):
    return datetime.datetime.fromisoformat(written).strftime("%-d %B %Y, %H:%M")


def page(template, status=200, **values):
    response = app.make_response((render_template(template, **values), status))
    response.headers["Link"] = PRELOAD
    response.headers["Cache-Control"] = "no-store"
    return response


def from_form():
    """The note in the form and what is wrong with it."""
    note = {"title": request.form.get("title", "").strip(),
            "text": request.form.get("text", "").replace("\r\n", "\n").strip(),
            "colour": request.form.get("colour", "")}
    wrong = []
    if not note["title"]:
        wrong.append("A note needs a title.")
    if len(note["title"]) > TITLE_MAX:
        wrong.append(f"A title has at most {TITLE_MAX} characters.")
    if len(note["text"]) > TEXT_MAX:
        wrong.append(f"A note has at most {TEXT_MAX} characters.")
    if note["colour"] not in COLOURS:
        note["colour"] = COLOURS[0]
    return note, wrong


def known(note_id):
    note = database().execute("SELECT * FROM note WHERE id = ?", (note_id,)).fetchone()
    return note or abort(404, "This note is not there, or not any more.")


def now():
    return datetime.datetime.now().isoformat(timespec="seconds")


@app.get("/")
def every():
    words = request.args.get("q", "").strip()[:100]
    like = "%" + words.replace("\\", "\\\\").replace("%", "\\%").replace("_", "\\_") + "%"
    notes = database().execute(
        "SELECT * FROM note WHERE title LIKE ?1 ESCAPE '\\' OR text LIKE ?1 ESCAPE '\\'"
        " ORDER BY written DESC, id DESC LIMIT 200", (like,)).fetchall()
    return page("every.html", notes=notes, words=words)


@app.get("/new")
def new():
    return page("edit.html", note={"title": "", "text": "", "colour": COLOURS[0]}, wrong=[])


@app.post("/new")
def create():
    note, wrong = from_form()
    if database().execute("SELECT COUNT(*) FROM note").fetchone()[0] >= NOTES_MAX:
        wrong.append(f"There are {NOTES_MAX} notes already. Remove one first.")
    if wrong:
        return page("edit.html", 422, note=note, wrong=wrong)
    database().execute("INSERT INTO note (title, text, colour, written) VALUES (?, ?, ?, ?)",
                       (note["title"], note["text"], note["colour"], now()))
    flash("Saved.")
    return redirect(url_for("every"), 303)


@app.get("/note/<int:note_id>")
def edit(note_id):
    return page("edit.html", note=known(note_id), wrong=[])


@app.post("/note/<int:note_id>")
def change(note_id):
    known(note_id)
    note, wrong = from_form()
    if wrong:
        return page("edit.html", 422, note=dict(note, id=note_id), wrong=wrong)
    database().execute("UPDATE note SET title = ?, text = ?, colour = ?, written = ? WHERE id = ?",
                       (note["title"], note["text"], note["colour"], now(), note_id))
    flash("Saved.")
    return redirect(url_for("every"), 303)


@app.post("/note/<int:note_id>/remove")
def remove(note_id):
    database().execute("DELETE FROM note WHERE id = ?", (note_id,))
    flash("Removed.")
    return redirect(url_for("every"), 303)


@app.get("/whoami")
def whoami():
    return jsonify(instance=os.environ.get("WEBSITE_INSTANCE_ID", f"process {os.getpid()}"),
                   pid=os.getpid(),
                   headers={name: value for name, value in request.headers
                            if name.startswith("X-Forwarded") or name in ("Host", "X-Arr-Log-Id")})


@app.errorhandler(400)
@app.errorhandler(403)
@app.errorhandler(404)
@app.errorhandler(405)
@app.errorhandler(413)
def failed(error):
    return page("failed.html", error.code, error=error)
