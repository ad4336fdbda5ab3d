/* The scripts that Redis runs for us, src/fleet/lua/NAME.lua, as they are sent.
 * Each says at its head what its keys, arguments and answers are. They run whole or
 * not at all and see one moment; what they store is read by nobody else. */
#ifndef FLEET_LUA_H
#define FLEET_LUA_H

extern const char fleet_lua_apply[];
extern const char fleet_lua_look[];

extern const char fleet_lua_work_create[];
extern const char fleet_lua_work_plan[];
extern const char fleet_lua_work_declare[];
extern const char fleet_lua_work_place[];
extern const char fleet_lua_work_enqueue[];
extern const char fleet_lua_work_cancel[];
extern const char fleet_lua_work_stale[];
extern const char fleet_lua_work_idle[];
extern const char fleet_lua_work_claim[];
extern const char fleet_lua_work_beat[];
extern const char fleet_lua_work_hold[];
extern const char fleet_lua_work_give[];
extern const char fleet_lua_work_count[];

extern const char fleet_lua_hooks_add[];
extern const char fleet_lua_hooks_take[];
extern const char fleet_lua_hooks_settle[];
extern const char fleet_lua_hooks_list[];
extern const char fleet_lua_hooks_replay[];
extern const char fleet_lua_hooks_sweep[];

extern const char fleet_lua_rooms_claim[];
extern const char fleet_lua_rooms_tell[];

#endif
