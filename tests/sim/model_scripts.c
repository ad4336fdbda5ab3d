/* Scripts: Lua 5.1, the one that Redis has inside. Values go over as Redis
 * documents it (EVAL, "Lua API reference", "Data type conversion"). */
#include "model_internal.h"

#include <lauxlib.h>
#include <lua.h>
#include <lualib.h>
#include <openssl/sha.h>
#include <stdio.h>
#include <string.h>

enum { DIGEST_SIZE = 41 };

static const char known_scripts[] = "known scripts"; /* in the registry, by digest */

static void digest_of(struct str s, char out[DIGEST_SIZE])
{
    unsigned char digest[SHA_DIGEST_LENGTH];

    SHA1((const unsigned char *)s.at, s.len, digest);
    for (size_t i = 0; i < sizeof(digest); i++)
        snprintf(out + 2 * i, 3, "%02x", digest[i]);
}

static void push_reply(lua_State *lua, const struct redis_reply *r)
{
    switch (r->type) {
    case REDIS_NIL: lua_pushboolean(lua, 0); return;
    case REDIS_TEXT: lua_pushlstring(lua, r->text.at, r->text.len); return;
    case REDIS_INTEGER: lua_pushnumber(lua, (lua_Number)r->integer); return;
    case REDIS_STATUS:
    case REDIS_ERROR:
        lua_newtable(lua);
        lua_pushlstring(lua, r->text.at, r->text.len);
        lua_setfield(lua, -2, r->type == REDIS_STATUS ? "ok" : "err");
        return;
    case REDIS_ARRAY:
        lua_newtable(lua);
        for (size_t i = 0; i < r->count; i++) {
            push_reply(lua, &r->items[i]);
            lua_rawseti(lua, -2, (int)i + 1);
        }
    }
}

static bool take_field(lua_State *lua, const char *name, struct redis_reply *r)
{
    lua_pushstring(lua, name);
    lua_rawget(lua, -2);
    const char *text = lua_isstring(lua, -1) ? lua_tostring(lua, -1) : NULL;
    if (text != NULL && strcmp(name, "ok") == 0)
        reply_status(r, text);
    else if (text != NULL)
        reply_error(r, "%s", text);
    lua_pop(lua, 1);
    return text != NULL;
}

/* Pops what is on top. */
static void take_reply(lua_State *lua, struct redis_reply *r)
{
    size_t len;

    switch (lua_type(lua, -1)) {
    case LUA_TSTRING: {
        const char *at = lua_tolstring(lua, -1, &len);
        reply_text(r, (struct str){ at, len });
        break;
    }
    case LUA_TNUMBER: reply_integer(r, (int64_t)lua_tonumber(lua, -1)); break;
    case LUA_TBOOLEAN:
        reply_nil(r);
        if (lua_toboolean(lua, -1))
            reply_integer(r, 1);
        break;
    case LUA_TTABLE:
        if (take_field(lua, "err", r) || take_field(lua, "ok", r))
            break;
        reply_array(r, 0);
        for (int i = 1;; i++) {
            lua_rawgeti(lua, -1, i);
            if (lua_isnil(lua, -1)) {
                lua_pop(lua, 1);
                break;
            }
            take_reply(lua, reply_push(r));
        }
        break;
    default: reply_nil(r);
    }
    lua_pop(lua, 1);
}

static struct model *model_of(lua_State *lua)
{
    return lua_touserdata(lua, lua_upvalueindex(1));
}

/* A number becomes text with all its digits; Lua itself would give it 14. */
static bool take_arg(lua_State *lua, int i, struct str *out)
{
    size_t len;
    char text[64];

    if (lua_type(lua, i) == LUA_TNUMBER) {
        int n = snprintf(text, sizeof(text), "%.17g", lua_tonumber(lua, i));
        lua_pushlstring(lua, text, (size_t)n);
        lua_replace(lua, i);
    }
    if (lua_type(lua, i) != LUA_TSTRING)
        return false;
    out->at = lua_tolstring(lua, i, &len);
    out->len = len;
    return true;
}

static void call(lua_State *lua, struct redis_reply *reply)
{
    int count = lua_gettop(lua);
    struct str *args = mem_zalloc(((size_t)count + 1) * sizeof(*args));
    struct call c = { model_of(lua), args, (size_t)count, reply };
    bool is_well = true;

    for (int i = 0; i < count; i++)
        is_well = take_arg(lua, i + 1, &args[i]) && is_well;
    if (count == 0)
        reply_error(reply, "ERR Please specify at least one argument for this redis.call");
    else if (!is_well)
        reply_error(reply, "ERR Lua redis lib command arguments must be strings or integers");
    else
        model_execute(&c);
    mem_free(args);
}

static int on_pcall(lua_State *lua)
{
    struct redis_reply reply = { 0 };

    call(lua, &reply);
    push_reply(lua, &reply);
    reply_reset(&reply);
    return 1;
}

static int on_call(lua_State *lua)
{
    struct redis_reply reply = { 0 };

    call(lua, &reply);
    bool is_error = reply.type == REDIS_ERROR;
    push_reply(lua, &reply);
    reply_reset(&reply);
    return is_error ? lua_error(lua) : 1;
}

static int on_status_reply(lua_State *lua)
{
    lua_newtable(lua);
    lua_pushvalue(lua, 1);
    lua_setfield(lua, -2, "ok");
    return 1;
}

static int on_error_reply(lua_State *lua)
{
    lua_newtable(lua);
    lua_pushvalue(lua, 1);
    lua_setfield(lua, -2, "err");
    return 1;
}

static int on_sha1hex(lua_State *lua)
{
    size_t len;
    const char *at = luaL_checklstring(lua, 1, &len);
    char digest[DIGEST_SIZE];

    digest_of((struct str){ at, len }, digest);
    lua_pushstring(lua, digest);
    return 1;
}

static int on_unknown_global(lua_State *lua)
{
    return luaL_error(lua, "Script attempted to access nonexistent global variable '%s'",
                      lua_tostring(lua, 2));
}

static int on_new_global(lua_State *lua)
{
    return luaL_error(lua, "Attempt to modify a readonly table");
}

/* Whoever forgets `local` is told, as Redis does. */
static void protect_globals(lua_State *lua)
{
    lua_pushvalue(lua, LUA_GLOBALSINDEX);
    lua_newtable(lua);
    lua_pushcfunction(lua, on_unknown_global);
    lua_setfield(lua, -2, "__index");
    lua_pushcfunction(lua, on_new_global);
    lua_setfield(lua, -2, "__newindex");
    lua_setmetatable(lua, -2);
    lua_pop(lua, 1);
}

static void open_library(lua_State *lua, const char *name, lua_CFunction open)
{
    lua_pushcfunction(lua, open);
    lua_pushstring(lua, name);
    lua_call(lua, 1, 0);
}

static void open_lua(struct model *m)
{
    static const luaL_Reg functions[] = {
        { "call", on_call },
        { "pcall", on_pcall },
        { "status_reply", on_status_reply },
        { "error_reply", on_error_reply },
        { "sha1hex", on_sha1hex },
    };
    lua_State *lua = luaL_newstate();

    m->lua = lua;
    open_library(lua, "", luaopen_base);
    open_library(lua, LUA_TABLIBNAME, luaopen_table);
    open_library(lua, LUA_STRLIBNAME, luaopen_string);
    open_library(lua, LUA_MATHLIBNAME, luaopen_math);
    lua_newtable(lua);
    for (size_t i = 0; i < sizeof(functions) / sizeof(*functions); i++) {
        lua_pushlightuserdata(lua, m);
        lua_pushcclosure(lua, functions[i].func, 1);
        lua_setfield(lua, -2, functions[i].name);
    }
    lua_setglobal(lua, "redis");
    lua_newtable(lua);
    lua_setglobal(lua, "KEYS");
    lua_newtable(lua);
    lua_setglobal(lua, "ARGV");
    lua_newtable(lua);
    lua_setfield(lua, LUA_REGISTRYINDEX, known_scripts);
    protect_globals(lua);
}

void scripts_drop(struct model *m)
{
    if (m->lua != NULL)
        lua_close(m->lua);
    m->lua = NULL;
}

/* Pushes the function; false: it is not known, nothing is pushed. */
static bool push_known(lua_State *lua, struct str digest)
{
    lua_getfield(lua, LUA_REGISTRYINDEX, known_scripts);
    lua_pushlstring(lua, digest.at, digest.len);
    lua_rawget(lua, -2);
    lua_remove(lua, -2);
    if (lua_isfunction(lua, -1))
        return true;
    lua_pop(lua, 1);
    return false;
}

/* Pushes the function of a source; false, and the reply is an error. */
static bool push_source(struct call *c, struct str source)
{
    lua_State *lua = c->m->lua;
    char digest[DIGEST_SIZE];

    digest_of(source, digest);
    if (push_known(lua, str_of(digest)))
        return true;
    if (luaL_loadbuffer(lua, source.at, source.len, "@user_script") != 0) {
        reply_error(c->reply, "ERR Error compiling script (new function): %s",
                    lua_tostring(lua, -1));
        lua_pop(lua, 1);
        return false;
    }
    lua_getfield(lua, LUA_REGISTRYINDEX, known_scripts);
    lua_pushvalue(lua, -2);
    lua_setfield(lua, -2, digest);
    lua_pop(lua, 1);
    return true;
}

static void set_list(lua_State *lua, const char *name, const struct str *items, size_t count)
{
    lua_pushstring(lua, name);
    lua_newtable(lua);
    for (size_t i = 0; i < count; i++) {
        lua_pushlstring(lua, items[i].at, items[i].len);
        lua_rawseti(lua, -2, (int)i + 1);
    }
    lua_rawset(lua, LUA_GLOBALSINDEX);
}

/* What a script died of: a table of redis.call's, or Lua's own words. */
static void take_error(lua_State *lua, struct redis_reply *r)
{
    if (lua_istable(lua, -1) && take_field(lua, "err", r)) {
        lua_pop(lua, 1);
        return;
    }
    reply_error(r, "ERR %s", lua_isstring(lua, -1) ? lua_tostring(lua, -1) : "unknown");
    lua_pop(lua, 1);
}

static bool read_keys(struct call *c, int64_t *keys)
{
    if (!arg_integer(c, 2, keys))
        return false;
    if (*keys >= 0 && (size_t)*keys <= c->count - 3)
        return true;
    reply_error(c->reply, *keys < 0 ? "ERR Number of keys can't be negative"
                                    : "ERR Number of keys can't be greater than number of args");
    return false;
}

/* The function is on top. */
static void run(struct call *c, int64_t keys)
{
    lua_State *lua = c->m->lua;

    set_list(lua, "KEYS", c->args + 3, (size_t)keys);
    set_list(lua, "ARGV", c->args + 3 + keys, c->count - 3 - (size_t)keys);
    c->m->is_script = true;
    if (lua_pcall(lua, 0, 1, 0) != 0)
        take_error(lua, c->reply);
    else
        take_reply(lua, c->reply);
    c->m->is_script = false;
    lua_gc(lua, LUA_GCSTEP, 0);
}

static bool may_run(struct call *c)
{
    if (c->m->is_script) {
        reply_error(c->reply, "ERR This Redis command is not allowed from script");
        return false;
    }
    if (c->m->lua == NULL)
        open_lua(c->m);
    return true;
}

static void run_eval(struct call *c)
{
    int64_t keys;

    if (may_run(c) && read_keys(c, &keys) && push_source(c, c->args[1]))
        run(c, keys);
}

static void run_evalsha(struct call *c)
{
    int64_t keys;

    if (!may_run(c) || !read_keys(c, &keys))
        return;
    if (push_known(c->m->lua, c->args[1]))
        run(c, keys);
    else
        reply_error(c->reply, "NOSCRIPT No matching script. Please use EVAL.");
}

static void run_script(struct call *c)
{
    char digest[DIGEST_SIZE];

    if (!may_run(c))
        return;
    if (!arg_is(c, 1, "LOAD") || c->count != 3) {
        reply_error(c->reply, "ERR unknown subcommand");
        return;
    }
    if (!push_source(c, c->args[2]))
        return;
    lua_pop(c->m->lua, 1);
    digest_of(c->args[2], digest);
    reply_text(c->reply, str_of(digest));
}

const struct command commands_scripts[] = {
    { "eval", -3, run_eval },
    { "evalsha", -3, run_evalsha },
    { "script", -2, run_script },
    { 0 },
};
