-- Nothing is loaded here: require('midfill').setup() starts the plug-in.
if vim.g.loaded_midfill then
  return
end
vim.g.loaded_midfill = true

vim.api.nvim_create_user_command('Midfill', function(call)
  require('midfill').setup()
  vim.cmd.Midfill({ args = call.fargs })
end, { nargs = '*', desc = 'midfill: start it with its defaults' })
