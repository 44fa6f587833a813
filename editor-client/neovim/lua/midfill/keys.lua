--- The insert-mode keys of a buffer: they act on a suggestion, and do what they always do without one.
local config = require('midfill.config')

local M = {}

local SNIPPET_JUMP = 'vim.snippet.jump if active, otherwise <Tab>'
--- Neovim's own mapping of Tab; the only one that is replaced, by one that does the same.

---@type table<integer, string[]> the keys that were mapped, by buffer
local mapped = {}

local function is_free(key)
  local map = vim.fn.maparg(key, 'i', false, true)
  return vim.tbl_isempty(map) or map.desc == SNIPPET_JUMP
end

--- What a key does when there is no suggestion.
local function otherwise(key)
  if key == '<Tab>' and vim.snippet and vim.snippet.active({ direction = 1 }) then
    return '<Cmd>lua vim.snippet.jump(1)<CR>'
  end
  return key
end

--- Map the keys that nobody has mapped yet.
---@param bufnr integer
---@param actions table<string, fun(): boolean> by the name of the key's option
function M.map(bufnr, actions)
  M.unmap(bufnr)
  mapped[bufnr] = {}
  for name, key in pairs(config.options.keys or {}) do
    if key and is_free(key) then
      vim.keymap.set('i', key, function()
        return actions[name]() and '' or otherwise(key)
      end, { buffer = bufnr, expr = true, silent = true, desc = 'midfill: ' .. name:gsub('_', ' ') })
      table.insert(mapped[bufnr], key)
    end
  end
end

--- Take our keys away again.
---@param bufnr integer
function M.unmap(bufnr)
  for _, key in ipairs(mapped[bufnr] or {}) do
    pcall(vim.keymap.del, 'i', key, { buffer = bufnr })
  end
  mapped[bufnr] = nil
end

--- Keys of the options that are not ours in a buffer, because they are mapped to something else.
---@param bufnr integer
---@return string[]
function M.taken(bufnr)
  local taken = {}
  for _, key in pairs(config.options.keys or {}) do
    if key and not vim.list_contains(mapped[bufnr] or {}, key) then
      table.insert(taken, key)
    end
  end
  return taken
end

return M
